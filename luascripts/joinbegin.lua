-- joinbegin: somebody begins to load a partition beside those that serve; whoever did so before has lost it.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: partition u16; ARGV[3]: what says who loads it;
-- ARGV[4]: slice_ms u56, for a shard without a window
-- answers 1; 2 when records of it may be here; 0 when the shard is not this keeper's, or forgot that it is, or serves the partition

-- Decide.
local aside = 'moving' .. ARGV[2]
if redis.call('HGET', KEYS[1], 'keeper') ~= ARGV[1] then return 0 end
if redis.call('HEXISTS', KEYS[1], ARGV[2]) == 1 then return 0 end
local before = redis.call('HEXISTS', KEYS[1], aside)

-- Apply.
redis.call('HSET', KEYS[1], aside, ARGV[3])
need_window(ARGV[4])
return 1 + before
