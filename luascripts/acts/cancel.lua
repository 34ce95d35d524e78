-- cancel: releases a reservation, or leaves a tombstone for a Try that has not come.
-- row: by_key, id, account (the payer; zeros when by id), ext
-- outcome: Cancelled, Expired, OK (there is nothing to release), each with the reservation; Tombstone;
--          AlreadyConfirmed, ReservationNotFound, PayerNotFound, KeyOld: not stored

acts[CANCEL] = function(i)
  local r, seen, by_key = held[i], record[key[i]], verdict[i] == 1
  local status, first = res_status[r], seen and byte(seen)

  -- Decide.
  if not status and not seen then
    if old[key[i]] and is_old(i) then return answer(i, KEY_OLD) end
    if not by_key then return answer(i, RESERVATION_NOT_FOUND) end
    if not available[account[i]] then return answer(i, PAYER_NOT_FOUND) end
    return entomb(i)
  end
  if by_key and first == CONFIRMED then return answer(i, ALREADY_CONFIRMED) end
  if (by_key and seen and first ~= TRIED) or (not status and first == TOMBSTONE) then
    answer(i, OK)
    return put('\0')
  end
  if not status then return answer(i, RESERVATION_NOT_FOUND) end
  if status == CONFIRMED then return answer(i, ALREADY_CONFIRMED) end

  -- Apply.
  if status == TRIED then
    status = now >= expires_ms[r] and EXPIRED or CANCELLED
    release(i, r, status)
    answer(i, status)
  else
    answer(i, OK)
  end
  return put_reservation(r)
end
