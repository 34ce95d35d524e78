-- cancel: releases a reservation, or leaves a tombstone for a Try that has not come.
-- row: by_key, id, account (the payer; zeros when by id), ext
-- outcome: Cancelled, Expired, OK (there is nothing to release), each with the reservation; Tombstone;
--          AlreadyConfirmed, ReservationNotFound, PayerNotFound, KeyOld: not stored

needs[CANCEL] = function(i, p)
  local by_key, id, payer = read('>Bc16c12', arg, p + 3)
  whole[i], held[i], key[i] = by_key == 1, reservation_named(id), key_named(id)
  if whole[i] then account[i] = account_named(payer) end
end

acts[CANCEL] = function(i)
  local r, seen = held[i], record[key[i]]
  local status, first = res_status[r], seen and byte(seen)

  -- Decide.
  if not status and not seen then
    if old[key[i]] and is_old(i) then return answer(KEY_OLD) end
    if not whole[i] then return answer(RESERVATION_NOT_FOUND) end
    if not available[account[i]] then return answer(PAYER_NOT_FOUND) end
    return entomb(i)
  end
  if whole[i] and first == CONFIRMED then return answer(ALREADY_CONFIRMED) end
  if (whole[i] and seen and first ~= TRIED) or (not status and first == TOMBSTONE) then return put(letter[OK] .. letter[0]) end
  if not status then return answer(RESERVATION_NOT_FOUND) end
  if status == CONFIRMED then return answer(ALREADY_CONFIRMED) end

  -- Apply.
  if status == TRIED then
    status = now >= expires_ms[r] and EXPIRED or CANCELLED
    release(i, r, status)
    answer(status)
  else
    answer(OK)
  end
  return put_reservation(r)
end
