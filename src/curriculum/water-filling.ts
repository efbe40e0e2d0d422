/** A budget shared out over groups of which none gets more than it has. */

/**
 * Places for each group: from the least on, each gets an equal part of what is left, or all that it has. They sum to
 * the budget, or to all that there is.
 */
export function waterFilled(sizes: readonly number[], budget: number): number[] {
  const places = sizes.map(() => 0);
  const order = [...sizes.keys()].sort((a, b) => sizes[a]! - sizes[b]! || a - b);
  let left = Math.min(
    budget,
    sizes.reduce((a, b) => a + b, 0),
  );
  for (const [at, group] of order.entries()) {
    const part = Math.min(sizes[group]!, Math.floor(left / (order.length - at)));
    places[group] = part;
    left -= part;
  }
  // What does not divide evenly goes to the largest groups, which have room.
  for (let at = order.length - 1; left > 0; at = at === 0 ? order.length - 1 : at - 1) {
    const group = order[at]!;
    if (places[group]! >= sizes[group]!) continue;
    places[group]!++;
    left--;
  }
  return places;
}
