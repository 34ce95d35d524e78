-- loadfilter: as load, for the filter: what is there stays.
-- KEYS: parts, filter
-- ARGV[1]: the field of parts that says who loads; ARGV[2]: what it says of this loader; ARGV[3…]: field and block, in turn
-- answers 1; 0 when somebody else loads

if redis.call('HGET', KEYS[1], ARGV[1]) ~= ARGV[2] then return 0 end
add_blocks(KEYS[2], 3)
return 1
