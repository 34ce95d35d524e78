-- admit: notes whose shard it is, and lets it run trains for a while. What an earlier keeper still asks for is refused from here
-- on (trim, freeze, thaw, join).
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: until_ms u56 in the shard's clock. A lease that is there may be of another clock: what
-- was a replica has its primary's, what came back older data has one from before
-- answers 1; 0 when a keeper of a higher epoch was here

local keeper = redis.call('HGET', KEYS[1], 'keeper')
if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', ARGV[1]) then return 0 end
redis.call('HSET', KEYS[1], 'keeper', ARGV[1], 'lease', ARGV[2])
return 1
