-- admit: notes whose shard it is, and lets it run trains for a while. What an earlier keeper still asks for is refused from here
-- on (trim, freeze, thaw, join).
-- epoch: the keeper's, u32; until_ms u56 in the shard's clock. A lease that is there may be of another clock: what was a replica
-- has its primary's, what came back older data has one from before
-- answers 1; 0 when a keeper of a higher epoch was here
local function admit_keeper(parts, epoch, until_ms)
  local keeper = redis.call('HGET', parts, 'keeper')
  if keeper and struct.unpack('>I4', keeper) > struct.unpack('>I4', epoch) then return 0 end
  redis.call('HSET', parts, 'keeper', epoch, 'lease', until_ms)
  return 1
end
