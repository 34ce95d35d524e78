-- joinend: the partition is whole and serves from here on.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: partition u16; ARGV[3]: what says who loads it; ARGV[4]: its record;
-- ARGV[5]: what the window has got (slices.lua)
-- answers 1, also when it was done before; 0 when the shard is not this keeper's, or somebody else loads the partition

-- Decide.
local name, aside = ARGV[2], 'moving' .. ARGV[2]
if redis.call('HGET', KEYS[1], 'keeper') ~= ARGV[1] then return 0 end
local part, loads = redis.call('HGET', KEYS[1], name), redis.call('HGET', KEYS[1], aside)
if part then return not loads and string.sub(part, 1, 4) == string.sub(ARGV[4], 1, 4) and 1 or 0 end
if loads ~= ARGV[3] then return 0 end

-- Apply.
redis.call('HSET', KEYS[1], name, ARGV[4], 'window', window_behind(redis.call('HGET', KEYS[1], 'window'), ARGV[5]))
redis.call('HDEL', KEYS[1], aside)
return 1
