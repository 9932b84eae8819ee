// Knows that the kernel may refuse what is asked of it, and that this is an answer.

/** A value that the kernel would not give: the errno's name and the system call that returned it. */
export type Refusal = {readonly errno: string; readonly during: string};

/** What was asked for, or the refusal in its place. Refusal is data; nothing throws. */
export type Seen<T> = T | Refusal;

export function isRefusal(value: unknown): value is Refusal {
  return typeof value === 'object' && value !== null && 'errno' in value && 'during' in value;
}
