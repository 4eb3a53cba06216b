/** Drives one invocation after the other, or many at once, and counts. */

/** Sends one invocation and calls back once, with an error if the answer was not the right one. */
export type Invoke = (answered: (error?: Error) => void) => void

/** One invocation at a time for `durationMs`; gives the median, in ms. */
export async function medianMs(invoke: Invoke, durationMs: number): Promise<number> {
  const times: number[] = []
  const end = performance.now() + durationMs
  await answeredInTime(durationMs, (resolve, reject) => {
    const next = () => {
      const sent = performance.now()
      invoke((error) => {
        const now = performance.now()
        times.push(now - sent)
        if (error) reject(error)
        else if (now < end) next()
        else resolve()
      })
    }
    next()
  })
  return times.sort((a, b) => a - b)[Math.floor(times.length / 2)] ?? Number.NaN
}

export type Throughput = { perSecond: number; invokes: number }

/** Keeps `inFlight` invocations open for `durationMs`, then lets the last ones end; those count, and so does their time. */
export async function throughput(
  invoke: Invoke,
  inFlight: number,
  durationMs: number,
): Promise<Throughput> {
  const start = performance.now()
  let invokes = 0
  await answeredInTime(durationMs, (resolve, reject) => {
    let open = inFlight
    const next = () => {
      invoke((error) => {
        if (error) return reject(error)
        invokes += 1
        if (performance.now() - start < durationMs) return next()
        open -= 1
        if (open === 0) resolve()
      })
    }
    for (let lane = 0; lane < inFlight; lane += 1) next()
  })
  return { invokes, perSecond: (invokes * 1000) / (performance.now() - start) }
}

const answerWithinMs = 30_000

/** One deadline for a whole round, since one for each invocation would be in the figures. */
export async function answeredInTime(
  durationMs: number,
  run: (resolve: () => void, reject: (error: Error) => void) => void,
): Promise<void> {
  let deadline: NodeJS.Timeout | undefined
  try {
    await new Promise<void>((resolve, reject) => {
      const late = () => reject(new Error(`an answer is missing after ${answerWithinMs} ms`))
      deadline = setTimeout(late, durationMs + answerWithinMs)
      run(resolve, reject)
    })
  } finally {
    clearTimeout(deadline)
  }
}

/** Lets compilers and pools settle before anything is counted: one contender after the other, `durationMs` each. */
export async function warmUp(
  invokes: Invoke[],
  inFlight: number,
  durationMs: number,
): Promise<void> {
  for (const invoke of invokes) await throughput(invoke, inFlight, durationMs)
}

/**
 * Measures the contenders in turn, A B C A B C …, `rounds` times: whatever else happens on the machine happens to all
 * of them. Gives each one's figures in the order of the rounds, so that they may be compared pair by pair.
 */
export async function inTurns(
  rounds: number,
  contenders: (() => Promise<number>)[],
): Promise<number[][]> {
  const figures = contenders.map((): number[] => [])
  for (let round = 0; round < rounds; round += 1) {
    for (const [index, measure] of contenders.entries()) figures[index]?.push(await measure())
  }
  return figures
}
