-- suspense: where a leg goes that its payee has no room for (design section 6). Nothing is written here.

-- The account that a leg credits, and what it has then: the payee, or the suspense account; nothing when neither has room.
-- after: what accounts have after earlier legs of the same delivery. Their sum with this one would not be exact.
local function receiver(l, after)
  local a, sum = leg_to[l], leg_amount[l]
  local has = after[a] or available[a]
  if has and sum <= AMOUNT_MAX - (has + reserved[a]) then return a, has + sum end
  a = leg_spare[l]
  has = after[a] or available[a] or 0
  if sum <= AMOUNT_MAX - (has + (reserved[a] or 0)) then return a, has + sum end
end

-- A suspense account's handle ends with its asset.
local function open_spare(a)
  available[a], reserved[a], flags[a], version[a], status_seq[a], overdraft[a] = 0, 0, 0, 0, 0, 0
  asset_of[a] = read('>H', handle[a], 11)
end
