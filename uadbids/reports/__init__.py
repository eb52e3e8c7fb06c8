"""Figures (`mosaic`) and pages (`page`) of a report; knows neither nipype nor BIDS."""
