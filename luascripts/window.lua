-- window: keys that are not in the key window any more (decision 11). Nothing is written here.

local two_to = {[0] = 1, 2, 4, 8, 16, 32, 64, 128}

-- Whether a block of the filter may know an id: four bytes of it each name a bit in one of four sectors (journal.Filter).
local function may_know(block, id)
  for n = 0, 3 do
    local b = byte(id, 7 + n)
    local low = b % 8
    local two = two_to[low]
    if byte(block, n * SECTOR_SIZE + (b - low) / 8 + 1) % (2 * two) < two then return false end
  end
  return true
end

-- Where a row's texts begin.
local texts_at = {[TRANSFER] = 57, [PAY] = 57, [RESERVE] = 61, [CONFIRM] = 56, [CANCEL] = 32}

-- The cut-off up to which the projection has cleared a row: it stands behind the three texts, or it is not there.
local function cleared_ms(i)
  local p = texts_at[op[i]]
  if not p then return 0 end
  p = at[i] + p
  for _ = 1, 3 do p = p + 1 + (byte(text, p) or 0) end
  return p + 6 == stop(i) and read('>I7', text, p) or 0
end

-- Whether nobody has looked for the id of the row, which may have been evicted.
local function is_old(i) return evicted > 0 and evicted > cleared_ms(i) end

-- Whose a key or a reservation is: the partition of a section that names it, and serves.
local function owners()
  if owned then return end
  owned = true
  for s = 1, sections do
    local name = of_partition[s]
    if state_of[s] == OK then
      for i = first_row[s], last_row[s] do
        if op[i] ~= DELIVER then
          key_part[key[i]] = name
          if reservations > 0 then key_part[tomb[i]], res_part[held[i]] = name, name end
        end
      end
    end
  end
end

-- What is older than a cut-off of the partition is as if it were not there.
local function forget(name, before)
  owners()
  for k = 1, keys do
    local r = record[k]
    if r and key_part[k] == name and read('>I7', whole(r), 3) < before then record[k], old[k] = false, true end
  end
  for r = 1, reservations do
    if res_status[r] and res_status[r] ~= TRIED and res_part[r] == name and resolved_ms[r] < before then res_status[r] = false end
  end
end

-- The section's key records go into this time slice.
local function open_slice(slice)
  key_writes = slice_writes[slice] or {}
  slice_writes[slice], key_written = key_writes, #key_writes
end

-- The slices that are written to for the first time; nil when none is.
local function fresh_slices(live)
  local known, fresh = {}, nil
  for j = 1, #live do known[live[j]] = true end
  for slice, written in pairs(slice_writes) do
    if #written > 0 and not known[slice] then
      fresh = fresh or {}
      fresh[#fresh + 1] = slice
    end
  end
  return fresh
end
