-- lease: lets the shard run trains for longer, unless a partition is not where the keeper believes that it serves it.
-- KEYS: parts
-- ARGV[1]: until_ms u56 in the shard's clock, then partitions that must be in these epochs: partition u16, epoch u32
-- answers 1; 0 when one is not

local read, claims = struct.unpack, ARGV[1]
local wanted = read('>I7', claims)

-- Decide.
for p = 8, #claims, OWNED_SIZE do
  local name, epoch = read('>c2I4', claims, p)
  local part = redis.call('HGET', KEYS[1], name)
  if not part or read('>I4', part) ~= epoch then return 0 end
end
local lease = redis.call('HGET', KEYS[1], 'lease')

-- Apply.
if not lease or read('>I7', lease) < wanted then redis.call('HSET', KEYS[1], 'lease', struct.pack('>I7', wanted)) end
return 1
