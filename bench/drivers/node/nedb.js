// Drives what the nodes before mqttdb were made of, mqtt.js 2 with mqtt-nedb-store:
// a message is stored when NeDB has it in memory and has appended a line to its
// file, which is not synced. NeDB makes objects of buffers: what was stored of them
// cannot be sent again, and the attempt ends the process.
'use strict'
const fs = require('fs')
const mqtt = require('mqtt-old')
const stores = require('mqtt-nedb-store')
const { client } = require('./client')
const { serve } = require('./driver')

serve(settings => {
  fs.mkdirSync(settings.dir, { recursive: true })
  return client(mqtt, stores(settings.dir), settings, true)
})
