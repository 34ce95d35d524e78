-- deliver: credits the legs of another partition's decided events, in order, exactly once (the keeper's; design section 6).
-- row: source, from, up_to (seqs of the source), legs × (of, id, payer, payee, amount (minor units), asset)
-- outcome: Delivered; DeliveryGap with the number that delivered[source] is; SuspenseFull

needs[DELIVER] = function(i, p)
  channel[i], leg_first[i] = channel_named(partition .. sub(arg, p + 3, p + 4)), legs + 1
  for q = p + 21, stop[i], LEG_SIZE do
    local name, sum, kind = read('>c12I7H', arg, q + 29)
    legs = legs + 1
    leg_to[legs], leg_amount[legs], leg_spare[legs] = account_named(name), sum, spare_named(kind)
  end
  leg_last[i] = legs
end

acts[DELIVER] = function(i)
  local d, first, last = channel[i], leg_first[i], leg_last[i]
  local from, up_to = read('>I7I7', arg, at[i] + 5)

  -- Decide.
  if delivered[d] ~= from then return answer(DELIVERY_GAP, delivered[d]) end
  if up_to < from then return answer(MALFORMED) end
  local after = {}
  for l = first, last do
    local a, has = receiver(l, after)
    if not a then return answer(SUSPENSE_FULL) end
    leg_to[l], after[a] = a, has
  end

  -- Apply.
  happen(i, DELIVERED)
  for l = first, last do
    local a = leg_to[l]
    if not available[a] then open_spare(a) end
    move(a, leg_amount[l], 0)
  end
  delivered[d], channel_moved[d] = up_to, true
  return answer(DELIVERED)
end
