/**
 * What somebody may have meant by a name that is not there.
 */

/** Up to three of `names`, nearest first: those that continue it, and those a third of its letters away or less. */
export function likeliest(name: string, names: readonly string[]): string[] {
  const wanted = name.toLowerCase()
  const near = Math.max(1, Math.floor(wanted.length / 3))
  return names
    .map((candidate) => {
      const letters = candidate.toLowerCase()
      return { candidate, far: letters.startsWith(wanted) ? 0 : distance(wanted, letters) }
    })
    .filter(({ far }) => far <= near)
    .sort((one, other) => one.far - other.far)
    .slice(0, 3)
    .map(({ candidate }) => candidate)
}

/** Letters to insert, remove, exchange or swap with their neighbour (optimal string alignment distance). */
function distance(one: string, other: string): number {
  let twoBack: number[] = []
  let last = Array.from({ length: other.length + 1 }, (_, column) => column)
  for (let row = 1; row <= one.length; row++) {
    const next = [row]
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1]
      let least = Math.min(
        at(last, column) + 1,
        at(next, column - 1) + 1,
        at(last, column - 1) + (same ? 0 : 1),
      )
      const isSwap = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1]
      if (row > 1 && column > 1 && isSwap) least = Math.min(least, at(twoBack, column - 2) + 1)
      next.push(least)
    }
    twoBack = last
    last = next
  }
  return at(last, other.length)
}

const at = (row: readonly number[], column: number): number => row[column] ?? 0
