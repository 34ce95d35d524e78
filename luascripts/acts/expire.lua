-- expire: releases a reservation whose time is over (the keeper's).
-- row: id
-- outcome: Expired; NotDue (before its time, or no longer open)

acts[EXPIRE] = function(i)
  local r = held[i]

  -- Decide.
  if res_status[r] ~= TRIED or now < expires_ms[r] then return answer(i, NOT_DUE) end

  -- Apply.
  release(i, r, EXPIRED)
  return answer(i, EXPIRED)
end
