import { Injectable, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { Payload } from '@nestjs/microservices';
import { defineJob, Job, JobReactorClient, JobReactorModule, type ArgsOf } from 'nestjs-job-reactor';

const Greet = defineJob<{ name: string }, string>('greet');

@Injectable()
class Greetings {
  @Job(Greet)
  greet(@Payload() { name }: ArgsOf<typeof Greet>): string {
    return `Hello, ${name}!`;
  }
}

@Module({
  imports: [
    JobReactorModule.forRoot({
      distributor: { name: 'app', port: 0 }, // any free port: the node of the same forRoot finds it
      node: { name: 'worker', storage: 'memory' },
    }),
  ],
  providers: [Greetings],
})
class AppModule {}

const app = await NestFactory.createMicroservice(AppModule, JobReactorModule.transport());
app.enableShutdownHooks();
await app.listen();
console.log(await app.get(JobReactorClient).run(Greet, { name: 'world' }));
await app.close();
