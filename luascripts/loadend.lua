-- loadend: the partitions are whole and serve from here on.
-- KEYS: parts
-- ARGV[1]: the loader's token; ARGV[2]: what the window has got (slices.lua); ARGV[3…]: partition u16 and part record, in turn
-- answers 1; 0 when somebody else loads the shard

if redis.call('HGET', KEYS[1], 'loader') ~= ARGV[1] then return 0 end
redis.call('HDEL', KEYS[1], 'loader')
redis.call('HSET', KEYS[1], 'window', window_behind(redis.call('HGET', KEYS[1], 'window'), ARGV[2]), unpack(ARGV, 3))
return 1
