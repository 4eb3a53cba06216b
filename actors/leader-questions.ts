/**
 * Questions that only a leader answers, and may be answered late or twice.
 *
 * All that might lead hear them. One that comes while nobody leads is kept for as long as its asker waits, and answered by
 * whoever leads then; an answer that another has given before it is thrown away by the asker's inbox.
 */
import type { Bus, Clock, Msg } from '../bus/bus.ts'

export type LeaderQuestions = {
  /** This process leads: from now on it answers, and first what was asked before. */
  leads(): void
  /** It does no more. */
  follows(): void
  stop(): void
}

export type LeaderQuestionsBinding = {
  bus: Pick<Bus, 'subscribe'>
  clock: Clock
  subject: string
  /** Called while this process leads, and not before. */
  answer(question: Msg): void
}

/** Longer than the commands of `lambus` wait for an answer. */
const KEPT_MS = 10_000
/** More that nobody answers are of a program that asks without waiting. */
const MOST_KEPT = 1_000

export function openLeaderQuestions(binding: LeaderQuestionsBinding): LeaderQuestions {
  const { clock, answer } = binding
  let kept: { question: Msg; heardMs: number }[] = []
  const keep = (question: Msg): void => {
    kept.push({ question, heardMs: clock.monotonicMs() })
    if (kept.length > MOST_KEPT) kept.shift()
  }
  let hear = keep
  const subscription = binding.bus.subscribe(binding.subject, (question) => hear(question))
  return {
    leads() {
      hear = answer
      const sinceMs = clock.monotonicMs() - KEPT_MS
      const asked = kept.filter(({ heardMs }) => heardMs > sinceMs)
      kept = []
      for (const { question } of asked) answer(question)
    },
    follows() {
      hear = keep
    },
    stop: () => subscription.stop(),
  }
}
