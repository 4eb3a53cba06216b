/**
 * Slows a function down that prints more than its worker should have to read.
 *
 * Over the budget of a window its pipes are not read until the window ends: the function's next write blocks, nothing
 * piles up here, and nothing is lost. Its answer waits behind its output.
 */
import type { Readable } from 'node:stream'

// 10 MB/s, with bursts of 1 MB at full speed. Our figure: AWS documents none for what a function may print.
const outputBudgetBytes = 1_048_576
const outputWindowMs = 100

/** Stops reading a process that prints too much, until the window is over. */
export function outputThrottle(sources: Readable[]) {
  let windowEndsMs = 0
  let printedBytes = 0
  let pause: NodeJS.Timeout | undefined
  let lifted = false
  const resume = () => {
    pause = undefined
    for (const source of sources) source.resume()
  }
  return {
    count(bytes: number) {
      const nowMs = performance.now()
      if (nowMs > windowEndsMs) {
        windowEndsMs = nowMs + outputWindowMs
        printedBytes = 0
      }
      printedBytes += bytes
      if (printedBytes < outputBudgetBytes || pause !== undefined || lifted) return
      for (const source of sources) source.pause()
      pause = setTimeout(resume, windowEndsMs - nowMs)
    },
    lift() {
      lifted = true
      clearTimeout(pause)
      resume()
    },
  }
}
