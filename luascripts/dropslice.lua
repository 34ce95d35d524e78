-- dropslice: drops a slice of key records that every partition of the shard has evicted. It may be repeated.
-- KEYS: parts
-- ARGV[1]: the keeper's epoch u32; ARGV[2]: the slice u56
-- answers how many key records it had; -1 when another keeper has the shard, when it is not sealed, when somebody loads the shard, or when a partition
-- may still need it

if redis.call('HEXISTS', KEYS[1], 'loader') == 1 or not keeps(ARGV[1]) then return -1 end
local window = redis.call('HGET', KEYS[1], 'window')
local slice_ms, _, sealed = slices_of(window)
local wanted = struct.unpack('>I7', ARGV[2])
if wanted >= sealed then return -1 end
local parts, part = redis.call('HGETALL', KEYS[1]), nil
for j = 1, #parts, 2 do
  part = #parts[j] == 2 and parts[j + 1]
  if #parts[j] == 8 and string.sub(parts[j], 1, 6) == 'moving' then -- move.go: frozen, or being loaded
    if string.sub(parts[j + 1], 1, 1) ~= 'F' then return -1 end
    part = string.sub(parts[j + 1], 2)
  end
  if part and struct.unpack('>I7', part, EVICTED_AT) < (wanted + 1) * slice_ms then return -1 end
end

local records = redis.call('HLEN', 'keys:' .. wanted)
redis.call('UNLINK', 'keys:' .. wanted)
redis.call('HSET', KEYS[1], 'window', without_slice(window, wanted))
return records
