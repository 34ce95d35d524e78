-- keeps: whether the keeper that calls is the one that admitted trains last; nothing is written here.
local function keeps(epoch) return redis.call('HGET', KEYS[1], 'keeper') == epoch end
