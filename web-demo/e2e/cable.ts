/** A network cable between a browser and the gateway that a test can pull out: it cuts what is open and refuses what is new. */
import { once } from 'node:events';
import net from 'node:net';

export class Cable {
  private readonly sockets = new Set<net.Socket>();
  private plugged = true;
  private mute = false;

  private constructor(private readonly server: net.Server) {}

  static async to(port: number): Promise<Cable> {
    const server = net.createServer();
    const cable = new Cable(server);
    server.on('connection', (near) => cable.carry(near, port));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return cable;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.server.address() as net.AddressInfo).port}`;
  }

  /** What the gateway says does not arrive any more; what the browser says does. */
  muteDown(): void {
    this.mute = true;
  }

  pull(): void {
    this.plugged = false;
    this.mute = false;
    for (const socket of this.sockets) socket.destroy();
  }

  plug(): void {
    this.plugged = true;
  }

  stop(): void {
    this.pull();
    this.server.close();
  }

  private carry(near: net.Socket, port: number): void {
    if (!this.plugged) return void near.destroy();
    const far = net.connect(port, '127.0.0.1');
    for (const [socket, other] of [
      [near, far],
      [far, near],
    ] as const) {
      this.sockets.add(socket);
      socket.on('error', () => other.destroy());
      socket.on('close', () => {
        this.sockets.delete(socket);
        other.destroy();
      });
      socket.on('data', (bytes) => {
        if (socket === near || !this.mute) other.write(bytes);
      });
    }
  }
}
