/** What the common errors of open(2), read(2) and the like mean, for people. */
const MEANINGS: Readonly<Record<string, string>> = {
  ENOENT: "there is no such file or directory",
  ENOTDIR: "there is no such file or directory",
  EISDIR: "that is a directory",
  EACCES: "this user may not",
  EPERM: "this user may not",
  EROFS: "that file system is read-only",
  ENOSPC: "that file system is full",
};

/** Why a file could not be used, in a few words. */
export function fileTrouble(e: unknown): string {
  const { code = "", message } = e as NodeJS.ErrnoException;
  return MEANINGS[code] ?? message;
}
