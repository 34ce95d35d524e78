-- newwindow: gives a shard that has none its window: time slices of so many milliseconds, the present one is live.
local function need_window(slice_ms)
  if redis.call('HEXISTS', KEYS[1], 'window') == 1 then return end
  slice_ms = struct.unpack('>I7', slice_ms)
  local time = redis.call('TIME')
  local current = math.floor((time[1] * 1000 + math.floor(time[2] / 1000)) / slice_ms)
  redis.call('HSET', KEYS[1], 'window', struct.pack('>I7I7I7B', slice_ms, current, current, 0))
end
