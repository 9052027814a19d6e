/**
 * The known name a mistyped one most likely stands for, or undefined when none is near. Case does not count; one slip in
 * three letters is near, and a swap of neighbours is one slip.
 */
export function didYouMean(given: string, known: readonly string[]): string | undefined {
  // Names are short and known lists as well; a text of any length may come in, though, and the distance is quadratic.
  if (given.length > 100) return undefined;
  let best: string | undefined;
  let least = Infinity;
  for (const name of known) {
    const distance = slips(given.toLowerCase(), name.toLowerCase());
    if (distance < least && distance <= Math.max(1, Math.floor(Math.max(given.length, name.length) / 3))) {
      best = name;
      least = distance;
    }
  }
  return best;
}

/** Optimal string alignment distance. */
function slips(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(last[j]! + 1, row[j - 1]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
