-- erase: removes records of a partition that does not serve here, as long as parts says of it what the caller has seen.
-- KEYS: parts, the hash to remove from
-- ARGV[1]: the field of parts; ARGV[2]: what the caller has seen there; ARGV[3…]: fields
-- answers 1; 0 when it has changed

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
redis.call('HDEL', KEYS[2], unpack(ARGV, 3))
return 1
