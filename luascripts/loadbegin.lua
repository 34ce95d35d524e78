-- loadbegin: the partitions stop serving, and whoever else was loading the shard has lost it.
-- KEYS: parts
-- ARGV[1]: the loader's token, which begins with its epoch u32; ARGV[2]: slice_ms u56, for a shard without a window;
-- ARGV[3…]: partition u16, epoch u32
-- answers 1; 0 when a partition, or who loads the shard, is of a higher epoch

-- Decide.
local loader = redis.call('HGET', KEYS[1], 'loader')
if loader and struct.unpack('>I4', loader) > struct.unpack('>I4', ARGV[1]) then return 0 end
for i = 3, #ARGV do
  local name, epoch = struct.unpack('>c2I4', ARGV[i])
  local part = redis.call('HGET', KEYS[1], name)
  if part and struct.unpack('>I4', part) > epoch then return 0 end
end

-- Apply.
for i = 3, #ARGV do redis.call('HDEL', KEYS[1], string.sub(ARGV[i], 1, 2)) end
redis.call('HSET', KEYS[1], 'loader', ARGV[1])
need_window(ARGV[2])
return 1
