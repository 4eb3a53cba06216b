/**
 * The runtimes of Lambda: which AWS takes, which it has retired, and which run here.
 *
 * Source: lambda-semantics.md, Appendix A (recorded 2025-11: the enum in AWS's own order, and the sentence about retired
 * ones); the retired are those of the Developer Guide, "Deprecated runtimes", that can no longer be created.
 */
import { type Refusal, refuse } from './errors.ts'

const takenByAws = [
  'nodejs20.x',
  'python3.14',
  'provided.al2023',
  'python3.12',
  'python3.13',
  'nodejs24.x',
  'nodejs22.x',
  'java25',
  'python3.10',
  'python3.11',
  'java21',
  'ruby3.3',
  'ruby3.4',
  'ruby3.2',
  'python3.8',
  'python3.9',
  'java17',
  'nodejs16.x',
  'dotnet10',
  'dotnet8',
  'java11',
  'dotnet6',
  'nodejs18.x',
  'provided.al2',
  'java8.al2',
]

const retired = new Set([
  'nodejs',
  'nodejs4.3',
  'nodejs4.3-edge',
  'nodejs6.10',
  'nodejs8.10',
  'nodejs10.x',
  'nodejs12.x',
  'nodejs14.x',
  'python2.7',
  'python3.6',
  'python3.7',
  'java8',
  'dotnetcore1.0',
  'dotnetcore2.0',
  'dotnetcore2.1',
  'dotnetcore3.1',
  'dotnet5.0',
  'go1.x',
  'ruby2.5',
  'ruby2.7',
  'provided',
])

/** The runtimes whose functions are run here. */
export const builtRuntimes = ['nodejs24.x']

export function checkRuntime(runtime: string): Refusal | undefined {
  if (builtRuntimes.includes(runtime)) return undefined
  return refuse('InvalidParameterValueException', complaintOf(runtime))
}

function complaintOf(runtime: string): string {
  if (retired.has(runtime)) {
    return `The runtime parameter of ${runtime} is no longer supported for creating or updating AWS Lambda functions. We recommend you use a supported runtime while creating or updating functions.`
  }
  return takenByAws.includes(runtime)
    ? `lambus does not run ${runtime} functions yet. Supported runtimes: ${builtRuntimes.join(', ')}.`
    : `Value ${runtime} at 'runtime' failed to satisfy constraint: Member must satisfy enum value set: [${takenByAws.join(', ')}] or be a valid ARN`
}
