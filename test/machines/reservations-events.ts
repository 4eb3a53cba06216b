/** What reservations hear, for their stories. Seats are of worker `w1`. */
import type { ReservationsEvent, Seat } from '../../machines/reservations.ts'

export const input = { askAgainMs: 200, quickMs: 25, cap: undefined as number | undefined }

export const seatOf = (sandboxId: string, workerId = 'w1'): Seat => ({ sandboxId, workerId })
export const wanted = (requestId: string): ReservationsEvent => ({ type: 'wanted', requestId })
export const withdrawn = (requestId: string): ReservationsEvent => ({
  type: 'withdrawn',
  requestId,
})
export const granted = (...ids: string[]): ReservationsEvent => ({
  type: 'granted',
  seats: ids.map((id) => seatOf(id)),
})
export const finished = (id: string, tookMs = 1_000): ReservationsEvent => ({
  type: 'finished',
  seat: seatOf(id),
  tookMs,
})

/** Quick enough that the next may be sent ahead. */
export const soon = (id: string): ReservationsEvent => finished(id, 5)
export const lost = (id: string): ReservationsEvent => ({ type: 'lost', seat: seatOf(id) })
export const throttled = (keep: number): ReservationsEvent => ({
  type: 'throttled',
  keep,
  reason: 'too many',
})
export const recalled = (count: number): ReservationsEvent => ({ type: 'recalled', count })
export const capped = (cap: number | undefined): ReservationsEvent => ({ type: 'capped', cap })
export const workerGone: ReservationsEvent = { type: 'workerGone', workerId: 'w1' }
export const workerDraining: ReservationsEvent = { type: 'workerDraining', workerId: 'w1' }
export const aged: ReservationsEvent = { type: 'aged' }
export const superseded: ReservationsEvent = { type: 'superseded' }
