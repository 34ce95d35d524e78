-- look: reads a reservation or a key record by id. Nothing changes, nothing is journaled.
-- row: id
-- outcome: OK, then key record length u8 (0: none), reservation length u8 (0 or 70), reservation, key record; ReservationNotFound; KeyOld

acts[LOOK] = function(i)
  local r = held[i]

  -- Decide.
  local reservation = res_status[r] and pack_reservation(r) or ''
  local seen = record[key[i]] and whole(record[key[i]]) or ''
  if reservation == '' and seen == '' then return answer(i, old[key[i]] and is_old(i) and KEY_OLD or RESERVATION_NOT_FOUND) end

  -- Apply: nothing but the answer.
  answer(i, OK)
  return put(char(#seen, #reservation) .. reservation .. seen)
end
