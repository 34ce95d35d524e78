-- load: writes final state into a shard for the one who is loading it; a keeper that was overtaken meanwhile is refused.
-- KEYS: parts, the hash to write to
-- ARGV[1]: the loader's token; ARGV[2…]: fields and values
-- answers 1; 0 when somebody else loads the shard

if redis.call('HGET', KEYS[1], 'loader') ~= ARGV[1] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 2))
return 1
