/**
 * Whether guests run by KVM or are emulated. That /dev/kvm is there says nothing: there are
 * machines (small clouds, nested virtualization, gVisor) where it opens and boots no stock kernel.
 * So a guest is booted with it once, in a time in which a kernel that runs is long up, and what
 * comes of that is what is used.
 */
import { accessSync, constants } from 'node:fs'

export type Accelerator = 'kvm' | 'tcg'

const DEVICE = '/dev/kvm'
/** A guest by KVM is up in two seconds; one that hangs in its first instructions never is. */
export const TRIAL_MS = 30_000

let found: Promise<Accelerator> | undefined

/**
 * The accelerator for this process's guests; `boots` tries one by KVM, once. `TRUNKLINE_VM_ACCEL`
 * names it without a trial.
 */
export function accelerator(boots: () => Promise<unknown>, device: string = DEVICE): Promise<Accelerator> {
  const { TRUNKLINE_VM_ACCEL: named } = process.env
  if (named === 'kvm' || named === 'tcg') return Promise.resolve(named)
  return (found ??= tried(boots, device))
}

/** Tries, whatever is known. */
export async function tried(boots: () => Promise<unknown>, device: string): Promise<Accelerator> {
  try {
    accessSync(device, constants.R_OK | constants.W_OK)
  } catch {
    return 'tcg' // there is none, or it is not for us
  }
  try {
    await boots()
    return 'kvm'
  } catch (error) {
    const [line] = String(error).split('\n')
    console.error(`bed: ${device} is there and boots no guest (${line}): guests are emulated`)
    return 'tcg'
  }
}
