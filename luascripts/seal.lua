-- seal: from here on trains look into the slices before one only for ids that the filter may know: it has all of theirs.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: the slice u56
-- answers 1; 0 when another keeper has the shard, or the slices are not closed

local window = redis.call('HGET', KEYS[1], 'window')
if not window or not keeps(ARGV[1]) then return 0 end
local slice_ms, floor, sealed = struct.unpack('>I7I7I7', window)
local wanted = struct.unpack('>I7', ARGV[2])
if wanted > floor then return 0 end
if wanted > sealed then
  window = struct.pack('>I7I7I7B', slice_ms, floor, wanted, 1) .. string.sub(window, WINDOW_HEAD_SIZE + 1)
  redis.call('HSET', KEYS[1], 'window', window)
end
return 1
