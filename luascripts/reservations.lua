-- reservations: what becomes of a reservation. Nothing is written here.

local refusal_of = {[CONFIRMED] = ALREADY_CONFIRMED, [CANCELLED] = ALREADY_CANCELLED, [EXPIRED] = RESERVATION_EXPIRED}

-- A key that was cancelled before its Try came.
local function entombed(k) return record[k] and byte(record[k]) == TOMBSTONE end

local function entomb(i)
  happen(i)
  keep(i, TOMBSTONE, 0)
  return answer(i, TOMBSTONE)
end

local function reservation_changed(r)
  if res_moved[r] ~= trains then
    res_changes = res_changes + 1
    res_moved[r], res_changed[res_changes] = trains, r
  end
end

-- Takes a sum from what remains; the rest is freed unless the reservation stays open. Answers what is no longer reserved,
-- and journal.ConfirmDetail.
local function capture(r, sum, final)
  local left = remaining[r] - sum
  captured[r] = captured[r] + sum
  reservation_changed(r)
  if not final and left > 0 then
    remaining[r] = left
    return sum, left
  end
  remaining[r], res_status[r], resolved_ms[r] = 0, CONFIRMED, now
  return sum + left, captured[r]
end

-- Ends an open reservation as cancelled or expired: what remains goes back to its payer.
local function release(i, r, status)
  local rest = remaining[r]
  happen(i)
  move_aside(res_payer[r], rest, -rest)
  remaining[r], res_status[r], resolved_ms[r] = 0, status, now
  reservation_changed(r)
end
