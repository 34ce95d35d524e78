-- admit: notes whose shard it is, and lets it run trains for a while. What an earlier keeper still asks for is refused from here
-- on (trim, freeze, thaw, join).
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: until_ms u56 in the shard's clock; a lease that lasts longer stays
-- answers 1; 0 when a keeper of a higher epoch was here

local keeper, lease = redis.call('HGET', KEYS[1], 'keeper'), redis.call('HGET', KEYS[1], 'lease')
if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'keeper', ARGV[1])
if not lease or struct.unpack('>I7', lease) < struct.unpack('>I7', ARGV[2]) then redis.call('HSET', KEYS[1], 'lease', ARGV[2]) end
return 1
