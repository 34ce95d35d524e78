-- freeze: a partition stops serving where it is; its record stands aside, for whoever it moves to, or for a thaw.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: partition u16; ARGV[3]: its epoch u32
-- answers its record, also when it was frozen before; nothing when the shard has a later keeper or serves it in another epoch

-- Decide.
local keeper, name, aside = redis.call('HGET', KEYS[1], 'keeper'), ARGV[2], 'moving' .. ARGV[2]
if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', ARGV[1]) then return '' end
local part = redis.call('HGET', KEYS[1], name)
if not part then
  local frozen = redis.call('HGET', KEYS[1], aside)
  if frozen and string.sub(frozen, 1, 5) == 'F' .. ARGV[3] then return string.sub(frozen, 2, 1 + PART_SIZE) end
  return ''
end
if string.sub(part, 1, 4) ~= ARGV[3] then return '' end

-- Apply.
local n = redis.call('HINCRBY', KEYS[1], 'freezes', 1) -- tells one freeze from another: a late thaw is of one
redis.call('HSET', KEYS[1], aside, 'F' .. part .. struct.pack('>I7', n))
redis.call('HDEL', KEYS[1], name)
return part
