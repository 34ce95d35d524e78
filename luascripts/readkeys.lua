-- readkeys: the records of the keys that a train names. First in the slices that are not in the filter, which is mostly one; then,
-- behind, only what the filter may know.

-- Looks for what is missing of some keys in slices, the latest first.
local function look_for(some, n, slices, from)
  for j = from, 1, -1 do
    local missing, ids, m = {}, {}, 0
    for q = 1, n do
      local k = some[q]
      if not record[k] then
        m = m + 1
        missing[m], ids[m] = k, id_of[k]
      end
    end
    if m == 0 then return end
    local values = load('keys:' .. slices[j], ids, m)
    for q = 1, m do record[missing[q]] = values[q] end
  end
end

-- Whether one was found that the filter knows: it may be evicted, though its slice is there.
local function look_behind(filter)
  owners()
  local asked, blocks, m = {}, {}, 0
  for k = 1, keys do
    if not record[k] and key_part[k] then
      m = m + 1
      asked[m], blocks[m] = k, key_part[k] .. sub(id_of[k], 5, 6)
    end
  end
  local values, maybe, n, found = load(filter, blocks, m), {}, 0, false
  for j = 1, m do
    local block, k = values[j], asked[j]
    if block and may_know(block, id_of[k]) then
      n = n + 1
      maybe[n] = k
    end
  end
  look_for(maybe, n, behind, #behind)
  for j = 1, n do
    local k = maybe[j]
    if record[k] then found = true else old[k] = true end
  end
  return found
end

local function read_keys(filter)
  local n, found = #live, false
  record, old = n > 0 and load('keys:' .. live[n], id_of, keys) or {}, {}
  if n > 1 then
    local all = {}
    for k = 1, keys do all[k] = k end
    look_for(all, keys, live, n - 1)
  end
  if filtered then found = look_behind(filter) end
  for name, before in pairs(part_evicted) do
    if before > 0 and (found or before > sealed * slice_ms) then forget(name, before) end
  end
end
