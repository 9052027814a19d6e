import { Controller, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Ctx, Payload } from '@nestjs/microservices';
import { Job, JobContext, JobReactorModule, type ArgsOf, type StorageOption } from 'nestjs-job-reactor';
import { PriceOrder, type Priced } from './jobs.js';

/** A worker node of several applications: `node node.js <name> <ports, with commas> <storage as JSON>`. */
const [name = '', ports = '', storage = ''] = process.argv.slice(2);

@Controller()
class Orders {
  @Job(PriceOrder)
  async price(
    @Payload() { order, prices }: ArgsOf<typeof PriceOrder>,
    @Ctx() ctx: JobContext<typeof PriceOrder>,
  ): Promise<Priced> {
    await new Promise((resolve) => setTimeout(resolve, 2)); // as if a database were asked
    return { order, total: prices.reduce((sum, price) => sum + price, 0), node: ctx.job.node };
  }
}

@Module({
  imports: [
    JobReactorModule.forRoot({
      node: {
        name,
        distributors: ports.split(',').map((port) => ({ host: '127.0.0.1', port: Number(port) })),
        storage: JSON.parse(storage) as StorageOption,
        concurrency: 16,
      },
    }),
  ],
  controllers: [Orders],
})
class NodeModule {}

const node = await NestFactory.createMicroservice(NodeModule, {
  ...JobReactorModule.transport(),
  logger: ['warn', 'error'],
});
node.enableShutdownHooks();
process.once('disconnect', () => process.exit(1)); // the runner is gone
await node.listen();
