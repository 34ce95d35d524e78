-- stop: no library admits trains any more (library.lua).
-- KEYS: parts
return redis.call('HDEL', KEYS[1], 'admitted')
