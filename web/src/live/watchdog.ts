/**
 * Notices that nothing is heard on a line any more. Timers stand still while a machine sleeps, so whoever wakes it
 * asks by the clock (`check`).
 */
export class Watchdog {
  private heardAt = 0;
  private timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    public silenceMs: number,
    private readonly silent: () => void,
  ) {
    this.heard();
  }

  heard(): void {
    this.heardAt = Date.now();
    clearTimeout(this.timer);
    this.timer = setTimeout(this.silent, this.silenceMs);
  }

  check(): void {
    if (Date.now() - this.heardAt > this.silenceMs) this.silent();
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
