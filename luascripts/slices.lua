-- slices: the time slices of key records, as the field window of parts names them (window.go). Nothing is written here.
-- window: slice_ms u56, floor u56, sealed u56, filtered u8, then the slices that there are, u56 each, rising

-- What a window says: slices below floor get nothing more, those below sealed are in the filter. live: the slices that are
-- not, behind: those that are.
local function slices_of(window)
  local live, behind = {}, {}
  if not window then return 1, 0, 0, false, live, behind end
  local slice_ms, floor, sealed, filtered = struct.unpack('>I7I7I7B', window)
  for q = WINDOW_HEAD_SIZE + 1, #window, SLICE_SIZE do
    local slice = struct.unpack('>I7', window, q)
    if slice < sealed then behind[#behind + 1] = slice else live[#live + 1] = slice end
  end
  return slice_ms, floor, sealed, filtered == 1, live, behind
end

-- The window with some more slices.
local function with_slices(window, more)
  local slice_ms, floor, sealed, filtered, live, behind = slices_of(window)
  local seen, all, packed = {}, {}, {string.sub(window, 1, WINDOW_HEAD_SIZE)}
  for _, some in ipairs({behind, live, more}) do
    for _, slice in ipairs(some) do
      if not seen[slice] then seen[slice], all[#all + 1] = true, slice end
    end
  end
  table.sort(all)
  for j = 1, #all do packed[j + 1] = struct.pack('>I7', all[j]) end
  return table.concat(packed)
end

-- The window without a slice.
local function without_slice(window, gone)
  local packed = {string.sub(window, 1, WINDOW_HEAD_SIZE)}
  for q = WINDOW_HEAD_SIZE + 1, #window, SLICE_SIZE do
    local slice = string.sub(window, q, q + SLICE_SIZE - 1)
    if struct.unpack('>I7', slice) ~= gone then packed[#packed + 1] = slice end
  end
  return table.concat(packed)
end

-- The window behind a load. loaded: 1 when the filter has got ids, else 0, u8; then the slices that have got key records, u56 each.
local function window_behind(window, loaded)
  local more = {}
  for q = 2, #loaded, SLICE_SIZE do more[#more + 1] = struct.unpack('>I7', loaded, q) end
  window = with_slices(window, more)
  if string.byte(loaded) == 1 then
    window = string.sub(window, 1, WINDOW_HEAD_SIZE - 1) .. '\1' .. string.sub(window, WINDOW_HEAD_SIZE + 1)
  end
  return window
end
