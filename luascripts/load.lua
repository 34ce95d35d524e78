-- load: writes final state into a shard for the one who is loading it; a keeper that was overtaken meanwhile is refused.
-- KEYS: parts, the hash to write to
-- ARGV[1]: the field of parts that says who loads; ARGV[2]: what it says of this loader; ARGV[3…]: fields and values
-- answers 1; 0 when somebody else loads

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HSET', KEYS[2], unpack(ARGV, 3))
return 1
