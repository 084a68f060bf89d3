//! The engine over a disk that may lose power at any moment, beside a model of what it promised.

mod disk;
mod power;
mod rules;
