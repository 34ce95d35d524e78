-- unload: removes fields of a hash, or a whole key, for the one who is loading the shard.
-- KEYS: parts, the key
-- ARGV[1]: the loader's token; ARGV[2…]: fields; none: the key as a whole
-- answers 1; 0 when somebody else loads the shard

if redis.call('HGET', KEYS[1], 'loader') ~= ARGV[1] then return 0 end
if #ARGV > 1 then
  redis.call('HDEL', KEYS[2], unpack(ARGV, 2))
else
  redis.call('UNLINK', KEYS[2])
end
return 1
