/**
 * Sixteen sandboxes behind 64 invocations in flight.
 *
 * Left alone, lambus would start a sandbox for each invocation in flight, as AWS does. The worker is given memory for
 * sixteen functions and no more: whoever finds none free waits, as on the bare path.
 */
import { functionMemoryMb } from './lambus.ts'

export const inFlight = 64
export const sandboxes = 16

export const sixteenSandboxes = {
  LAMBUS_WORKER_MEMORY_MB: String(sandboxes * functionMemoryMb),
}
