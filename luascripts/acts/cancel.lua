-- cancel: releases a reservation, or leaves a tombstone for a Try that has not come.
-- row: by_key, id, account (the payer; zeros when by id), ext
-- outcome: Cancelled, Expired, OK (there is nothing to release), each with the reservation; Tombstone;
--          AlreadyConfirmed, ReservationNotFound, PayerNotFound: not stored

needs[CANCEL] = function(i, p)
  local by_key, id, payer = read('>Bc16c12', arg, p + 3)
  whole[i], held[i], key[i] = by_key == 1, reservation_named(id), key_named(id)
  if whole[i] then account[i] = account_named(payer) end
end

acts[CANCEL] = function(i)
  local r = held[i]

  -- Decide.
  if whole[i] then
    local seen = record[key[i]]
    if not seen then
      if not available[account[i]] then return answer(PAYER_NOT_FOUND) end
      happen(i, TOMBSTONE)
      keep(i, TOMBSTONE, 0)
      return answer(TOMBSTONE)
    end
    local first = byte(seen)
    if first == CONFIRMED then return answer(ALREADY_CONFIRMED) end
    if first ~= TRIED then return put(letter[OK] .. letter[0]) end
  end
  local status = res_status[r]
  if not status and entombed(key[i]) then return put(letter[OK] .. letter[0]) end
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
