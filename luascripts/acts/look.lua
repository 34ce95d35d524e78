-- look: reads a reservation or a key record by id. Nothing changes, nothing is journaled.
-- row: id
-- outcome: OK, then key record length u8 (0: none), reservation length u8 (0 or 70), reservation, key record; ReservationNotFound; KeyOld

needs[LOOK] = function(i, p)
  local id = sub(arg, p + 3, p + 18)
  key[i], held[i] = key_named(id), reservation_named(id)
end

acts[LOOK] = function(i)
  local r = held[i]

  -- Decide.
  local reservation = res_status[r] and pack_reservation(r) or ''
  local seen = record[key[i]] or ''
  if reservation == '' and seen == '' then return answer(old[key[i]] and is_old(i) and KEY_OLD or RESERVATION_NOT_FOUND) end

  -- Apply: nothing but the answer.
  return put(concat({letter[OK], letter[#seen], letter[#reservation], reservation, seen}))
end
