-- closeslices: slices that are past get no key record any more, whatever the clock does.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32
-- answers 1; 0 when another keeper has the shard, or the shard has no window

local window = redis.call('HGET', KEYS[1], 'window')
if not window or not keeps(ARGV[1]) then return 0 end
local slice_ms, floor = struct.unpack('>I7I7', window)
local time = redis.call('TIME')
local current = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / slice_ms)
if current > floor then
  window = string.sub(window, 1, 7) .. struct.pack('>I7', current) .. string.sub(window, 15)
  redis.call('HSET', KEYS[1], 'window', window)
end
return 1
