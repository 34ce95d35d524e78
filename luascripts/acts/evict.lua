-- evict: forgets the key records and the resolved reservations of its partition that are older than a cut-off (the keeper's).
-- row: cutoff_ms
-- outcome: Evicted; NotDue (beyond now, or not beyond the last cut-off)

needs[EVICT] = function(i, p)
  amount[i] = read('>I7', arg, p + 3)
end

acts[EVICT] = function(i)
  local cutoff = amount[i]

  -- Decide.
  if cutoff <= evicted or cutoff > now then return answer(NOT_DUE) end

  -- Apply. The records themselves go when their slice is dropped.
  happen(i, EVICTED)
  evicted = cutoff
  forget(partition, cutoff)
  return answer(EVICTED)
end
